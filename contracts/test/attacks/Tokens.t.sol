// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ITold, TurningToken} from "../mocks/TurningToken.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {IMarketBack} from "../../src/interfaces/IMarketBack.sol";
import {TurningMarket} from "./TurningMarket.sol";

/// @notice P1.2, threats 1 to 5: whole jobs over tokens without manners. Each manner is refused where money comes in, or
/// hurts whoever chose the token, and never another market's money.
contract TokensTest is TurningMarket, ITold {
    uint256 private _reentered;

    function setUp() public override {
        super.setUp();
        (market, coin) = _marketOver(18, STAKE, 0.01e18);
        _settleIn(STAKE, 10_000e18);
    }

    /* --------------------------------------------------------------- manners in mid-job */

    /// @notice Threat 4: nothing but deposits and withdrawals needs the token; a job goes on and everybody is credited.
    function test_threat4_tokenPausedInMidJob_jobEnds_andWithdrawalsWait() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        coin.turn(TurningToken.Manner.Paused);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        _settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE);
        vm.prank(providers[0]);
        vm.expectRevert(TurningToken.Refused.selector);
        market.withdraw(providers[0], PRICE);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE, "nothing was lost by trying");
        coin.turn(TurningToken.Manner.Plain);
        _everybodyWithdraws();
        assertEq(coin.balanceOf(address(market)), _locked() + market.burned());
    }

    /// @notice Threat 3: a token that begins to return false neither credits nor debits anybody.
    function test_threat3_tokenReturningFalseInMidJob_movesNoLedger() public {
        JobTerms memory terms = _terms();
        _scored(terms, _vote(950_000));
        coin.turn(TurningToken.Manner.ReturnsFalse);
        _settle(terms);
        bytes memory failed = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(coin));
        vm.startPrank(providers[0]);
        vm.expectRevert(failed);
        market.withdraw(providers[0], PRICE);
        vm.expectRevert(failed);
        market.deposit(1);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE);
    }

    /// @notice Threat 2: a fee of everything is a deposit of nothing, and that is refused; on the way out it is the receiver's.
    function test_threat2_tokenThatTakesAll_isRefusedAtTheDeposit() public {
        coin.mint(stranger, 100);
        coin.turn(TurningToken.Manner.TakesAll);
        vm.prank(stranger);
        vm.expectRevert(ZeroAmount.selector);
        market.deposit(100);
        vm.prank(requester);
        market.withdraw(requester, 100);
        assertEq(coin.balanceOf(requester), 0, "who withdraws from such a token bears its fee");
        assertEq(coin.balanceOf(address(market)), _allFree() + _locked());
    }

    /// @notice Threat 3: the market itself never moves nothing, so a token that refuses zero never stops a job.
    function test_threat3_tokenThatRefusesZero_carriesAWholeJob() public {
        coin.turn(TurningToken.Manner.RefusesZero);
        JobTerms memory terms = _terms();
        _scored(terms, _vote(700_000)); // a payout of zero
        _settle(terms);
        vm.prank(requester);
        vm.expectRevert(ZeroAmount.selector);
        market.withdraw(requester, 0);
        _everybodyWithdraws();
        assertEq(coin.balanceOf(address(market)), _locked() + market.burned());
    }

    /// @notice Threat 1: a receiver that is told of its money re-enters, and finds its balance debited already.
    function test_threat1_receiverThatReentersWithdraw_getsNothingTwice() public {
        coin.mint(address(this), 100);
        market.deposit(100);
        coin.turn(TurningToken.Manner.Tells);
        market.withdraw(address(this), 60);
        assertEq(_reentered, 0);
        assertEq(coin.balanceOf(address(this)), 60);
        assertEq(market.free(address(this)), 40);
    }

    /// @notice Threat 1: a job's own calls touch no token, so there is nothing to re-enter from.
    function test_threat1_settlementOverATellingToken_callsNobody() public {
        JobTerms memory terms = _terms();
        terms.parents = new Parent[](1);
        terms.parents[0] = Parent(WORD, address(this), 2000);
        _scored(terms, _vote(950_000));
        coin.turn(TurningToken.Manner.Tells);
        vm.expectCall(address(coin), "", 0);
        _settle(terms);
        assertEq(market.free(address(this)), PRICE / 5);
    }

    function tokensReceived(uint256 amount) external {
        (bool isDone,) = address(market).call(abi.encodeCall(IMarketBack.withdraw, (address(this), amount)));
        if (isDone) ++_reentered;
        (isDone,) = address(market).call(abi.encodeCall(IMarketBack.deposit, (amount)));
        if (isDone) ++_reentered;
    }

    /* ------------------------------------------------------------------- an upgrade */

    /// @notice Threat 5: half of what the market holds vanishes in mid-job. The job ends; who withdraws late bears the loss;
    /// the market of another token keeps every unit.
    function test_threat5_tokenUpgradedInMidJob_harmsOnlyItsOwnMarket() public {
        (IMarket bad, TurningToken badCoin) = (market, coin);
        (market, coin) = _marketOver(18, STAKE, 0.01e18);
        _settleIn(STAKE, 10_000e18);
        uint256 good = coin.balanceOf(address(market));
        (IMarket other, TurningToken otherCoin) = (market, coin);

        (market, coin) = (bad, badCoin);
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        coin.turn(TurningToken.Manner.Halves);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        _settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE, "the ledger counts deposits, not balances");
        vm.prank(requester);
        market.withdraw(requester, 1000e18);
        assertEq(coin.balanceOf(requester), 1000e18);

        assertEq(otherCoin.balanceOf(address(other)), good);
        assertEq(other.free(requester), 10_000e18);
        vm.prank(requester);
        other.withdraw(requester, 10_000e18);
    }

    /// @notice Threat 5: what the upgrade sends to the market is nobody's: no deposit, no credit.
    function test_threat5_balancesThatGrow_creditNobody() public {
        uint256 credited = _allFree() + _locked();
        coin.mint(address(market), 1_000_000e18);
        coin.mint(stranger, 7);
        vm.prank(stranger);
        market.deposit(7);
        assertEq(market.free(stranger), 7, "the difference is measured, whatever was there");
        assertEq(_allFree() + _locked(), credited + 7);
    }

    /* ------------------------------------------------------------------------- helpers */

    function _everybodyWithdraws() private {
        _withdrawAll(requester);
        for (uint256 i; i < 8; ++i) {
            _withdrawAll(providers[i]);
            _withdrawAll(_owner(i));
        }
    }

    function _withdrawAll(address account) private {
        uint256 amount = market.free(account);
        vm.prank(account);
        market.withdraw(account, amount);
    }
}
